# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online

function Undo-SmtpAuth([hashtable] $Change) {
    $now = "$((Get-CASMailbox -Identity $Change.mailbox).SmtpClientAuthenticationDisabled)"
    $former = if ($null -eq $Change.disabled) { "the organisation's value" } else { "disabled: $($Change.disabled)" }
    if ($now -ne 'False') { Write-Host "    left: SMTP AUTH of $($Change.mailbox), which was changed since"; return }
    if (Confirm-Change "set SMTP AUTH of $($Change.mailbox) back to $former" $false) {
        Set-CASMailbox -Identity $Change.mailbox -SmtpClientAuthenticationDisabled $Change.disabled
    }
}

function Undo-Imap([hashtable] $Change) {
    $now = "$((Get-CASMailbox -Identity $Change.mailbox).ImapEnabled)"
    if ($now -ne 'True') { Write-Host "    left: IMAP of $($Change.mailbox), which was changed since"; return }
    if (Confirm-Change "disable IMAP for $($Change.mailbox) again" $false) {
        Set-CASMailbox -Identity $Change.mailbox -ImapEnabled $false
    }
}

function Get-PrincipalNames([string] $ObjectId) {
    # How the permissions of a mailbox may name the application.
    $names = @($ObjectId)
    foreach ($registration in @(Get-ServicePrincipal | Where-Object { $_.ObjectId -eq $ObjectId })) {
        if ($registration.PSObject.Properties['Sid']) { $names += "$($registration.Sid)" }
    }
    return $names
}

function Undo-SendAs([hashtable] $Change) {
    $names = Get-PrincipalNames $Change.object_id
    $there = @(Get-RecipientPermission -Identity $Change.recipient | Where-Object { "$($_.Trustee)" -in $names })
    if ($there.Count -eq 0) { Write-Host "    gone already: Send As for $($Change.recipient)"; return }
    if (Confirm-Change "remove Send As for $($Change.recipient)" $false) {
        Remove-RecipientPermission -Identity $Change.recipient -Trustee $Change.object_id -AccessRights 'SendAs' -Confirm:$false
    }
}

function Undo-FullAccess([hashtable] $Change) {
    $names = Get-PrincipalNames $Change.object_id
    $there = @(Get-MailboxPermission -Identity $Change.mailbox | Where-Object { "$($_.User)" -in $names })
    if ($there.Count -eq 0) { Write-Host "    gone already: FullAccess to $($Change.mailbox)"; return }
    if (Confirm-Change "remove FullAccess to $($Change.mailbox)" $false) {
        Remove-MailboxPermission -Identity $Change.mailbox -User $Change.object_id -AccessRights 'FullAccess' -Confirm:$false
    }
}

function Undo-RoleAssignment([hashtable] $Change) {
    $there = Get-ManagementRoleAssignment -Identity $Change.name -ErrorAction SilentlyContinue
    if (-not $there) { Write-Host "    gone already: the role assignment $($Change.name)"; return }
    if (Confirm-Change "remove the role assignment $($Change.name)" $false) {
        Remove-ManagementRoleAssignment -Identity $Change.name -Confirm:$false
    }
}

function Undo-RoleGroupMember([hashtable] $Change) {
    if (Confirm-Change "remove the application from the role group $($Change.role_group)" $false) {
        Remove-RoleGroupMember -Identity $Change.role_group -Member $Change.object_id -Confirm:$false
    }
}

function Undo-GroupMember([hashtable] $Change) {
    if (Confirm-Change "remove $($Change.mailbox) from the group $($Change.group)" $false) {
        Remove-DistributionGroupMember -Identity $Change.group -Member $Change.mailbox -BypassSecurityGroupManagerCheck -Confirm:$false
    }
}

function Undo-Group([hashtable] $Change) {
    $left = @(Get-DistributionGroupMember -Identity $Change.guid -ResultSize 'Unlimited')
    if ($Apply -and $left.Count -gt 0) {
        Write-Host "    left: the group $($Change.group), which has $($left.Count) members that the script did not add"
        return
    }
    if (Confirm-Change "remove the group $($Change.group)" $true) {
        Remove-DistributionGroup -Identity $Change.guid -BypassSecurityGroupManagerCheck -Confirm:$false
    }
}

function Undo-Registration([hashtable] $Change) {
    $there = @(Get-ServicePrincipal | Where-Object { $_.ObjectId -eq $Change.object_id })
    if ($there.Count -eq 0) { Write-Host "    gone already: the registration of $($Change.client_id) in Exchange"; return }
    if (Confirm-Change "remove the registration of $($Change.client_id) in Exchange" $true) {
        Remove-ServicePrincipal -Identity $Change.object_id -Confirm:$false
    }
}
