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
