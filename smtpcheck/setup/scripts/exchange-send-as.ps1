function Add-SendAs($Registration, [string] $Address, [string] $Sender) {
    # Send As, where the sender is another mailbox. An alias of the mailbox itself needs no permission.
    if ("$($Mailboxes[$Sender].Guid)" -eq "$($Mailboxes[$Address].Guid)") { return }
    $names = @("$($Registration.ObjectId)")
    if ($Registration.PSObject.Properties['Sid']) { $names += "$($Registration.Sid)" }
    $there = @(Get-RecipientPermission -Identity $Sender |
        Where-Object { "$($_.Trustee)" -in $names -and "$($_.AccessRights)" -match 'SendAs' })
    if ($there.Count -gt 0) { return }
    Write-Step "Granting Send As for $Sender"
    Save-Record 'send_as' 'before' @{ recipient = $Sender; object_id = "$($Registration.ObjectId)" }
    $null = Invoke-UntilReplicated {
        Add-RecipientPermission -Identity $Sender -Trustee $Registration.ObjectId -AccessRights 'SendAs' -Confirm:$false
    }
}
