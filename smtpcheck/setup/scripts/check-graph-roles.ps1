# ---------------------------------------------------------------------------------------------------------------------
# Does the administrator have the roles for it? Application Administrator may create applications and consent to the
# permissions of Exchange, but not to those of Microsoft Graph.

$wanted = @('Global Administrator', 'Privileged Role Administrator')
if (-not $Setup.ConsentsToGraph) { $wanted += @('Application Administrator', 'Cloud Application Administrator') }
try {
    $uri = 'v1.0/me/transitiveMemberOf/microsoft.graph.directoryRole?$select=displayName'
    $mine = @((Invoke-MgGraphRequest -Method 'GET' -Uri $uri -OutputType 'PSObject').value | ForEach-Object { $_.displayName })
    if (-not @($mine | Where-Object { $_ -in $wanted })) {
        Stop-Setup "You need one of these roles in Entra (activate it, where it is time-limited): $($wanted -join ', ')"
    }
} catch {
    if ($_.Exception.Message -like 'Nothing was changed*') { throw }
    Write-Warning "Your roles in Entra cannot be read ($($_.Exception.Message)); the script goes on without that check."
}
