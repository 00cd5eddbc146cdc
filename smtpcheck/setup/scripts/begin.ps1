# ---------------------------------------------------------------------------------------------------------------------
# What every step uses

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }  # commands of Exchange's module do not see the line above
$RecordFile = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($RecordFile)

function Write-Step([string] $Text) {
    Write-Host "==> $Text"
}

function Stop-Setup([string[]] $Problems) {
    throw ("Nothing was changed.`n" + ($Problems -join "`n"))
}

function Save-Record([string] $Change, [string] $State, [hashtable] $Values) {
    # One line of JSON: what is about to change and what it was ('before'), or what was made ('done').
    $line = @{ change = $Change; state = $State; at = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ') } + $Values
    Add-Content -LiteralPath $RecordFile -Encoding 'utf8' -Value (ConvertTo-Json -InputObject $line -Compress -Depth 6)
}

function Invoke-UntilReplicated([scriptblock] $Action) {
    # What Entra made seconds ago is not visible everywhere yet, least of all in Exchange: try again for five minutes.
    $pending = 'AADServicePrincipalNotFound|Request_ResourceNotFound|does not exist|NoBackingObject|being provisioned|' +
        'not found in the directory|Enable-OrganizationCustomization|couldn''t be found'
    for ($attempt = 1; $true; $attempt++) {
        try {
            return & $Action
        } catch {
            if ($attempt -ge 20 -or $_.Exception.Message -notmatch $pending) { throw }
            Write-Host "    not replicated yet; trying again in 15 s (attempt $attempt of 20)"
            Start-Sleep -Seconds 15
        }
    }
}
