# ---------------------------------------------------------------------------------------------------------------------
# Proof: what Exchange itself says. Test-ServicePrincipalAuthorization knows RBAC for Applications, not FullAccess, and shows
# a change at once, while the mail servers take up to two hours.

foreach ($application in $Setup.Applications) {
    $identity = $Identities[$application.Credential]
    foreach ($mailbox in @($application.Mailboxes | Select-Object -First 20)) {
        Write-Step "Roles of $($application.Credential) in $($mailbox.Address)"
        try {
            Test-ServicePrincipalAuthorization -Identity $identity.ObjectId -Resource $mailbox.Address |
                Format-Table -Property 'RoleName', 'AllowedResourceScope', 'ScopeType', 'InScope' -AutoSize | Out-Host
        } catch {
            Write-Warning "not tested: $($_.Exception.Message)"
        }
    }
    if ($application.Mailboxes.Count -gt 20) { Write-Host "    ... and $($application.Mailboxes.Count - 20) further mailboxes" }
}
if ("$((Get-OrganizationConfig).EnforceExoAppRbacPermissions)" -eq 'True') {
    Write-Warning ('EnforceExoAppRbacPermissions is on in this tenant. Microsoft does not document what it does; if logins are ' +
        'refused with 535 5.7.3 although all is granted, try --grant rbac-group.')
}
