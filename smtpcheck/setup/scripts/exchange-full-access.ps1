function Add-FullAccess($Registration, [string] $Address) {
    # FullAccess to this one mailbox: all of its content. A service principal is shown by its SID.
    $names = @("$($Registration.ObjectId)")
    if ($Registration.PSObject.Properties['Sid']) { $names += "$($Registration.Sid)" }
    $there = @(Get-MailboxPermission -Identity $Address |
        Where-Object { "$($_.User)" -in $names -and "$($_.AccessRights)" -match 'FullAccess' })
    if (@($there | Where-Object { "$($_.Deny)" -eq 'True' }).Count -gt 0) {
        Write-Warning "${Address}: FullAccess is denied to the application by an entry of its own, which wins. Remove that entry."
    }
    if (@($there | Where-Object { "$($_.Deny)" -ne 'True' }).Count -gt 0) { return }
    Write-Step "Granting FullAccess to $Address"
    Save-Record 'full_access' 'before' @{ mailbox = $Address; object_id = "$($Registration.ObjectId)" }
    $null = Invoke-UntilReplicated {
        Add-MailboxPermission -Identity $Address -User $Registration.ObjectId -AccessRights 'FullAccess' -AutoMapping $false
    }
}
