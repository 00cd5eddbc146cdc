# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online: sign in, and check everything before anything is changed

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

# Every mailbox has to be one of this tenant; $Mailboxes has each by the address of the configuration.
$Mailboxes = @{}
$problems = @()
$domains = @(Get-AcceptedDomain | ForEach-Object { "$($_.DomainName)" })
foreach ($application in $Setup.Applications) {
    $addresses = @(foreach ($mailbox in $application.Mailboxes) { $mailbox.Address; $mailbox.SendAs })
    foreach ($address in $addresses) {
        if ($Mailboxes.ContainsKey($address)) { continue }
        if ($address.Substring($address.LastIndexOf('@') + 1) -notin $domains) {
            $problems += "$address is in no domain of this tenant: is it a mailbox of another one?"
            continue
        }
        try {
            $Mailboxes[$address] = Get-EXOMailbox -Identity $address -ErrorAction Stop
        } catch {
            $problems += "$address is not found as a mailbox: $($_.Exception.Message)"
        }
    }
}
if ($problems.Count -gt 0) { Stop-Setup $problems }
