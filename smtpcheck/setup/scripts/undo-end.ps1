$failed = @()
foreach ($change in $Setup.Changes) {
    try {
        & $Steps[$change.change] $change
    } catch {
        if ($_.Exception.Message -match 'ResourceNotFound|does not exist|couldn''t be found|isn''t a member|not found') {
            Write-Host "    gone already: $($change.change) ($($_.Exception.Message))"
        } else {
            $failed += "$($change.change): $($_.Exception.Message)"
        }
    }
}
if ($failed.Count -gt 0) { throw ("Not taken back:`n" + ($failed -join "`n")) }
if (-not $Apply) { Write-Host 'Nothing was changed. To do this, run the script with -Apply.' }
