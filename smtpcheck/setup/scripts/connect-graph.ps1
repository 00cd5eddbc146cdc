# ---------------------------------------------------------------------------------------------------------------------
# Sign in. Graph first: both modules bring a library for signing in, and the first one loaded decides its version.
# If the second sign-in fails with "Method not found", use a new window, and update both modules.

Connect-MgGraph -TenantId $Setup.Tenant -Environment $Setup.GraphEnvironment -NoWelcome -Scopes @(
    'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All', 'Directory.Read.All'
)
$TenantId = (Get-MgContext).TenantId
