# ---------------------------------------------------------------------------------------------------------------------
# What a removal would be about. Only a record says what a script added, so nothing is changed here.

foreach ($application in $Setup.Applications) {
    $found = Find-Application $application
    if (-not $found.Principal) {
        Write-Step "The application of credential $($application.Credential) does not exist"
        continue
    }
    $objectId = $found.Principal.Id
    Write-Step "The application $($found.Principal.DisplayName) ($($found.Principal.AppId)) of credential $($application.Credential)"
    $assigned = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $objectId -All)
    foreach ($consent in $application.Consents) {
        $role = Get-AppRole $consent.Api $consent.Name
        if (@($assigned | Where-Object { $_.AppRoleId -eq $role.RoleId -and $_.ResourceId -eq $role.ApiId }).Count -gt 0) {
            Write-Host "    would remove: the consent to $($consent.Name)"
        }
    }
    $names = @($objectId)
    $registrations = @(Get-ServicePrincipal | Where-Object { $_.ObjectId -eq $objectId })
    foreach ($registration in $registrations) {
        if ($registration.PSObject.Properties['Sid']) { $names += "$($registration.Sid)" }
    }
    foreach ($mailbox in $application.Mailboxes) {
        $address = $mailbox.Address
        if (@(Get-MailboxPermission -Identity $address | Where-Object { "$($_.User)" -in $names }).Count -gt 0) {
            Write-Host "    would remove: FullAccess to $address"
        }
        foreach ($sender in $mailbox.SendAs) {
            if (@(Get-RecipientPermission -Identity $sender | Where-Object { "$($_.Trustee)" -in $names }).Count -gt 0) {
                Write-Host "    would remove: Send As for $sender"
            }
        }
        if ($mailbox.SmtpAuth -and "$((Get-CASMailbox -Identity $address).SmtpClientAuthenticationDisabled)" -eq 'False') {
            Write-Host "    would ask: SMTP AUTH of $address is enabled; only a record says what it was before"
        }
    }
    foreach ($role in $application.Roles) {
        if (Get-ManagementRoleAssignment -Identity $role.Assignment -ErrorAction SilentlyContinue) {
            Write-Host "    would remove: the role assignment $($role.Assignment)"
        }
        if ($role.Group -and (Get-DistributionGroup -Identity $role.Group -ErrorAction SilentlyContinue)) {
            Write-Host "    would ask: the group $($role.Group)"
        }
    }
    foreach ($name in $application.RoleGroups) { Write-Host "    would remove: its membership of the role group $name" }
    if ($registrations.Count -gt 0) { Write-Host '    would ask: its registration in Exchange' }
    Write-Host '    would ask: its enterprise application, and the application itself'
}
Write-Host 'Nothing was changed.'
