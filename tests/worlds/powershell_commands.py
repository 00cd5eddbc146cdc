"""The commands of PowerShell and of Microsoft's modules that scripts may use, with those of their parameters that they
may use, written off the reference: https://learn.microsoft.com/powershell/module/.

Rule of this file: a row is copied from a command's page, never from a script of ours.
"""

COMMANDS: dict[str, frozenset[str]] = {
    name: frozenset(parameters.split())
    for name, parameters in {
        # Microsoft.PowerShell.Core, .Management, .Utility
        "Add-Content": "LiteralPath Path Value Encoding Force",
        "ConvertTo-Json": "InputObject Depth Compress",
        "ForEach-Object": "Process InputObject",
        "Format-Table": "Property AutoSize Wrap",
        "Get-Command": "Name Module ErrorAction",
        "Get-Module": "Name ListAvailable",
        "New-Object": "TypeName ArgumentList",
        "Out-Host": "",
        "Read-Host": "Prompt",
        "Select-Object": "First Last Property InputObject Unique",
        "Set-StrictMode": "Version",
        "Start-Sleep": "Seconds",
        "Test-Path": "LiteralPath Path PathType",
        "Where-Object": "FilterScript InputObject",
        "Write-Host": "Object ForegroundColor",
        "Write-Warning": "Message",
        # PowerShellGet
        "Install-Module": "Name Scope Force Repository AllowClobber",
        # Microsoft.Graph.Authentication, Microsoft.Graph.Applications
        "Connect-MgGraph": "TenantId Scopes Environment NoWelcome",
        "Get-MgContext": "",
        "Invoke-MgGraphRequest": "Method Uri Body OutputType",
        "Get-MgApplication": "ApplicationId Filter Property All",
        "New-MgApplication": "DisplayName SignInAudience Tags KeyCredentials RequiredResourceAccess BodyParameter",
        "Update-MgApplication": "ApplicationId KeyCredentials RequiredResourceAccess BodyParameter",
        "Remove-MgApplication": "ApplicationId Confirm",
        "Add-MgApplicationPassword": "ApplicationId BodyParameter PasswordCredential",
        "Remove-MgApplicationPassword": "ApplicationId BodyParameter KeyId",
        "Get-MgApplicationFederatedIdentityCredential": "ApplicationId FederatedIdentityCredentialId All",
        "New-MgApplicationFederatedIdentityCredential": "ApplicationId BodyParameter Name Issuer Subject Audiences",
        "Remove-MgApplicationFederatedIdentityCredential": "ApplicationId FederatedIdentityCredentialId",
        "Get-MgServicePrincipal": "ServicePrincipalId Filter Property All ErrorAction",
        "New-MgServicePrincipal": "AppId BodyParameter",
        "Remove-MgServicePrincipal": "ServicePrincipalId Confirm",
        "Get-MgServicePrincipalAppRoleAssignment": "ServicePrincipalId All",
        "New-MgServicePrincipalAppRoleAssignment": "ServicePrincipalId PrincipalId ResourceId AppRoleId",
        "Remove-MgServicePrincipalAppRoleAssignment": "ServicePrincipalId AppRoleAssignmentId",
        # ExchangeOnlineManagement
        "Connect-ExchangeOnline": "ShowBanner ExchangeEnvironmentName Device DisableWAM UserPrincipalName",
        "Get-ConnectionInformation": "",
        "Get-AcceptedDomain": "Identity",
        "Get-CASMailbox": "Identity ResultSize",
        "Set-CASMailbox": "Identity SmtpClientAuthenticationDisabled ImapEnabled",
        "Get-EXOMailbox": "Identity PropertySets Properties ErrorAction",
        "Get-MailboxPermission": "Identity User ErrorAction",
        "Add-MailboxPermission": "Identity User AccessRights AutoMapping",
        "Remove-MailboxPermission": "Identity User AccessRights Confirm",
        "Get-RecipientPermission": "Identity Trustee AccessRights",
        "Add-RecipientPermission": "Identity Trustee AccessRights Confirm",
        "Remove-RecipientPermission": "Identity Trustee AccessRights Confirm",
        "Get-ServicePrincipal": "Identity ErrorAction",
        "New-ServicePrincipal": "AppId ObjectId DisplayName",
        "Remove-ServicePrincipal": "Identity Confirm",
        "Get-DistributionGroup": "Identity ErrorAction",
        "New-DistributionGroup": "Name Type Alias MemberJoinRestriction MemberDepartRestriction Members Notes",
        "Set-DistributionGroup": "Identity HiddenFromAddressListsEnabled",
        "Remove-DistributionGroup": "Identity BypassSecurityGroupManagerCheck Confirm",
        "Get-DistributionGroupMember": "Identity ResultSize",
        "Add-DistributionGroupMember": "Identity Member BypassSecurityGroupManagerCheck",
        "Remove-DistributionGroupMember": "Identity Member BypassSecurityGroupManagerCheck Confirm",
        "Get-ManagementRoleAssignment": "Identity RoleAssignee Role ErrorAction",
        "New-ManagementScope": "Name RecipientRestrictionFilter RecipientRoot Confirm",
        "New-ManagementRoleAssignment": (
            "Name Role App RecipientGroupScope RecipientAdministrativeUnitScope CustomResourceScope"
        ),
        "Remove-ManagementRoleAssignment": "Identity Confirm",
        "Test-ServicePrincipalAuthorization": "Identity Resource",
        "Get-OrganizationConfig": "",
        "Enable-OrganizationCustomization": "",
        "Get-RoleGroupMember": "Identity ResultSize",
        "Add-RoleGroupMember": "Identity Member Confirm",
        "Remove-RoleGroupMember": "Identity Member Confirm",
    }.items()
}
