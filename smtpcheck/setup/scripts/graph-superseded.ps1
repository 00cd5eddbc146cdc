function Remove-SupersededConsent([hashtable] $Wanted, $Found) {
    # With the consent in its token, Exchange asks for FullAccess again, whatever RBAC for Applications grants.
    foreach ($consent in $Wanted.Superseded) {
        $role = Get-AppRole $consent.Api $consent.Name
        $there = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Found.Principal.Id -All |
            Where-Object { $_.AppRoleId -eq $role.RoleId -and $_.ResourceId -eq $role.ApiId })
        foreach ($assignment in $there) {
            if (-not $Replace) {
                Write-Warning ("The application has consent to $($consent.Name), which reaches beyond the group or brings back " +
                    'the check of the mailbox permission. Once nothing else needs it, run the script with -Replace to remove it.')
                continue
            }
            Write-Step "Removing the consent to $($consent.Name)"
            Save-Record 'consent_removed' 'before' @{
                principal_id = $Found.Principal.Id; api_id = $role.ApiId; role_id = $role.RoleId; name = $consent.Name
            }
            Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Found.Principal.Id -AppRoleAssignmentId $assignment.Id
        }
    }
}
