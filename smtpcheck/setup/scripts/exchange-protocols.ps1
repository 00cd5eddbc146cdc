function Set-Protocols([hashtable] $Mailbox) {
    # SMTP AUTH and IMAP for this mailbox alone; what the organisation has set stays as it is.
    $now = Get-CASMailbox -Identity $Mailbox.Address
    if ($Mailbox.SmtpAuth -and "$($now.SmtpClientAuthenticationDisabled)" -ne 'False') {
        Write-Step "Enabling SMTP AUTH for $($Mailbox.Address)"
        Save-Record 'smtp_auth' 'before' @{ mailbox = $Mailbox.Address; disabled = $now.SmtpClientAuthenticationDisabled }
        Set-CASMailbox -Identity $Mailbox.Address -SmtpClientAuthenticationDisabled $false
    }
    if ($Mailbox.Imap -and "$($now.ImapEnabled)" -ne 'True') {
        Write-Step "Enabling IMAP for $($Mailbox.Address)"
        Save-Record 'imap' 'before' @{ mailbox = $Mailbox.Address; enabled = $now.ImapEnabled }
        Set-CASMailbox -Identity $Mailbox.Address -ImapEnabled $true
    }
}
