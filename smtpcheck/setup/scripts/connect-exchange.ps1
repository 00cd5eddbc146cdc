# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online: sign in, to the same tenant, with roles that allow what is to be done

Connect-ExchangeOnline -ShowBanner:$false -ExchangeEnvironmentName $Setup.ExchangeEnvironment
$others = @(Get-ConnectionInformation | Where-Object { "$($_.TenantID)" -ne "$TenantId" })
if ($others.Count -gt 0) {
    Stop-Setup ("Exchange Online PowerShell is connected to tenant $($others[0].TenantID), not only to $TenantId. Run " +
        'Disconnect-ExchangeOnline, and then this script again with an administrator of the right tenant.')
}
$missing = @($Setup.ExchangeCommands | Where-Object { -not (Get-Command -Name $_ -ErrorAction SilentlyContinue) })
if ($missing.Count -gt 0) {
    Stop-Setup ("Your roles in Exchange do not allow $($missing -join ', '). Organization Management allows all of it " +
        '(Exchange Administrator alone may lack the assignment of roles).')
}
