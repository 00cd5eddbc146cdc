# Sets tenant contoso.onmicrosoft.com up for smtpcheck. Made by smtpcheck 0.2.0.
#
# Read it, and run it in PowerShell 7 as an administrator of the tenant:
#   ./setup.ps1 -CheckOnly    checks everything and changes nothing
#   ./setup.ps1               adds what is missing; what is there is kept, so it may be run again
#   ./setup.ps1 -Replace      also replaces what is wrong
# It needs the modules Microsoft.Graph.Applications and ExchangeOnlineManagement. Such scripts are tested by
# parsers, not in a tenant.
#
# - FullAccess, which Exchange demands beside SMTP.SendAsApp and IMAP.AccessAsApp, opens all content of a
#   mailbox. For sending by SMTP alone --grant rbac-group gives less.

[CmdletBinding()]
param(
    # Also make the changes that replace or remove something; without it they are only announced.
    [switch] $Replace,
    # Check everything, and change nothing.
    [switch] $CheckOnly,
    # Where the script writes what was there, before each change: smtpcheck setup --undo FILE takes it back.
    [string] $RecordFile = "smtpcheck-setup-$([DateTime]::UtcNow.ToString('yyyyMMdd-HHmmss')).jsonl"
)

# What is to be set up: everything that is particular to this tenant.
$Setup = @{
    Tenant = 'contoso.onmicrosoft.com'
    LoginHost = 'login.microsoftonline.com'
    GraphEnvironment = 'Global'
    ExchangeEnvironment = 'O365Default'
    ConsentsToGraph = $false
    Modules = @('Microsoft.Graph.Authentication', 'Microsoft.Graph.Applications', 'ExchangeOnlineManagement')
    AdministrativeUnit = ''
    ExchangeCommands = @(
        'Get-ServicePrincipal',
        'New-ServicePrincipal',
        'Get-OrganizationConfig',
        'Get-MailboxPermission',
        'Add-MailboxPermission',
        'Get-RecipientPermission',
        'Add-RecipientPermission',
        'Get-CASMailbox',
        'Set-CASMailbox'
    )
    Applications = @(
        @{
            Credential = 'contoso'
            DisplayName = 'smtpcheck-contoso'
            ClientId = '11111111-2222-3333-4444-555555555555'
            ObjectId = ''
            Proof = @{ Kind = 'secret'; Source = 'value' }
            Consents = @(@{ Api = '00000002-0000-0ff1-ce00-000000000000'; Name = 'SMTP.SendAsApp' })
            Superseded = @()
            InExchange = $true
            Roles = @()
            RoleGroups = @()
            Mailboxes = @(
                @{ Address = 'billing@contoso.com'; FullAccess = $true; SmtpAuth = $true; Imap = $false; SendAs = @() },
                @{ Address = 'o''brien@contoso.com'; FullAccess = $true; SmtpAuth = $true; Imap = $false; SendAs = @('office@contoso.com') }
            )
        }
    )
    Checks = @('billing', 'o_brien')
}

# ---------------------------------------------------------------------------------------------------------------------
# What every step uses

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }  # commands of Exchange's module do not see the line above
$RecordFile = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($RecordFile)

function Write-Step([string] $Text) {
    Write-Host "==> $Text"
}

function Stop-Setup([string[]] $Problems) {
    throw ("Nothing was changed.`n" + ($Problems -join "`n"))
}

function Save-Record([string] $Change, [string] $State, [hashtable] $Values) {
    # One line of JSON: what is about to change and what it was ('before'), or what was made ('done').
    $line = @{ change = $Change; state = $State; at = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ') } + $Values
    Add-Content -LiteralPath $RecordFile -Encoding 'utf8' -Value (ConvertTo-Json -InputObject $line -Compress -Depth 6)
}

function Invoke-UntilReplicated([scriptblock] $Action) {
    # What Entra made seconds ago is not visible everywhere yet, least of all in Exchange: try again for five minutes.
    $pending = 'AADServicePrincipalNotFound|Request_ResourceNotFound|does not exist|NoBackingObject|being provisioned|' +
        'not found in the directory|Enable-OrganizationCustomization|couldn''t be found'
    for ($attempt = 1; $true; $attempt++) {
        try {
            return & $Action
        } catch {
            if ($attempt -ge 20 -or $_.Exception.Message -notmatch $pending) { throw }
            Write-Host "    not replicated yet; trying again in 15 s (attempt $attempt of 20)"
            Start-Sleep -Seconds 15
        }
    }
}

foreach ($module in $Setup.Modules) {
    if (-not (Get-Module -Name $module -ListAvailable)) {
        Stop-Setup "The module $module is not installed: Install-Module $module -Scope CurrentUser"
    }
}

# ---------------------------------------------------------------------------------------------------------------------
# Sign in. Graph first: both modules bring a library for signing in, and the first one loaded decides its version.
# If the second sign-in fails with "Method not found", use a new window, and update both modules.

Connect-MgGraph -TenantId $Setup.Tenant -Environment $Setup.GraphEnvironment -NoWelcome -Scopes @(
    'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All', 'Directory.Read.All'
)
$TenantId = (Get-MgContext).TenantId

# ---------------------------------------------------------------------------------------------------------------------
# Does the administrator have the roles for it? Application Administrator may create applications and consent to the
# permissions of Exchange, but not to those of Microsoft Graph.

$wanted = @('Global Administrator', 'Privileged Role Administrator')
if (-not $Setup.ConsentsToGraph) { $wanted += @('Application Administrator', 'Cloud Application Administrator') }
try {
    $uri = 'v1.0/me/transitiveMemberOf/microsoft.graph.directoryRole?$select=displayName'
    $mine = @((Invoke-MgGraphRequest -Method 'GET' -Uri $uri -OutputType 'PSObject').value | ForEach-Object { $_.displayName })
    if (-not @($mine | Where-Object { $_ -in $wanted })) {
        Stop-Setup "You need one of these roles in Entra (activate it, where it is time-limited): $($wanted -join ', ')"
    }
} catch {
    if ($_.Exception.Message -like 'Nothing was changed*') { throw }
    Write-Warning "Your roles in Entra cannot be read ($($_.Exception.Message)); the script goes on without that check."
}

# ---------------------------------------------------------------------------------------------------------------------
# Entra: the application, its credential, its permissions

$ApplicationFields = @('id', 'appId', 'displayName', 'tags', 'passwordCredentials', 'requiredResourceAccess')
$PrincipalFields = @('id', 'appId', 'displayName', 'accountEnabled')
$Apis = @{}

function Get-AppRole([string] $Api, [string] $Name) {
    # Ids of permissions are read from the tenant itself; lists of them on the web are often wrong.
    if (-not $Apis.ContainsKey($Api)) {
        $Apis[$Api] = @(Get-MgServicePrincipal -Filter "appId eq '$Api'" -Property @('id', 'appId', 'appRoles'))
    }
    if ($Apis[$Api].Count -ne 1) {
        Stop-Setup "The tenant has no enterprise application $Api. If that is Exchange's, it has no Exchange Online."
    }
    $roles = @($Apis[$Api][0].AppRoles | Where-Object { $_.Value -eq $Name -and $_.AllowedMemberTypes -contains 'Application' })
    if ($roles.Count -ne 1) { Stop-Setup "The API $Api has no application permission $Name in this tenant." }
    return @{ ApiId = $Apis[$Api][0].Id; RoleId = $roles[0].Id }
}

function Find-Application([hashtable] $Wanted) {
    # Returns the application and its enterprise application; $null for what does not exist. Another's is never taken.
    $application = $null
    $principal = $null
    if ($Wanted.ObjectId) {
        $principal = Get-MgServicePrincipal -ServicePrincipalId $Wanted.ObjectId -Property $PrincipalFields
    } elseif ($Wanted.ClientId) {
        $filter = "appId eq '$($Wanted.ClientId)'"
        $application = Get-MgApplication -Filter $filter -Property $ApplicationFields | Select-Object -First 1
        $principal = Get-MgServicePrincipal -Filter $filter -Property $PrincipalFields | Select-Object -First 1
        if (-not $application -and -not $principal) {
            Stop-Setup "The tenant has no application $($Wanted.ClientId), which credential $($Wanted.Credential) names."
        }
    } else {
        $filter = "displayName eq '{0}'" -f $Wanted.DisplayName.Replace("'", "''")
        $named = @(Get-MgApplication -Filter $filter -Property $ApplicationFields)
        $application = $named | Where-Object { $_.Tags -contains 'smtpcheck-setup' } | Select-Object -First 1
        if ($named.Count -gt 0 -and -not $application) {
            Stop-Setup ("There is an application $($Wanted.DisplayName) already, which this script did not make. If it is the " +
                "right one, write client_id: $($named[0].AppId) into the configuration, and make the script again.")
        }
        if ($application) {
            $principal = Get-MgServicePrincipal -Filter "appId eq '$($application.AppId)'" -Property $PrincipalFields |
                Select-Object -First 1
        }
    }
    return @{ Application = $application; Principal = $principal }
}

function Set-Application([hashtable] $Wanted) {
    # Creates what does not exist, and returns both.
    $found = Find-Application $Wanted
    if (-not $found.Application -and -not $found.Principal) {
        Write-Step "Creating the application $($Wanted.DisplayName)"
        Save-Record 'application' 'before' @{ display_name = $Wanted.DisplayName }
        $found.Application = New-MgApplication -DisplayName $Wanted.DisplayName -SignInAudience 'AzureADMyOrg' -Tags @('smtpcheck-setup')
        Save-Record 'application' 'done' @{ object_id = $found.Application.Id; client_id = $found.Application.AppId }
    }
    if (-not $found.Principal) {
        Write-Step "Creating the enterprise application of $($Wanted.DisplayName)"
        $clientId = $found.Application.AppId
        Save-Record 'enterprise_application' 'before' @{ client_id = $clientId }
        $found.Principal = Invoke-UntilReplicated { New-MgServicePrincipal -AppId $clientId }
        Save-Record 'enterprise_application' 'done' @{ client_id = $clientId; object_id = $found.Principal.Id }
    }
    if ($found.Principal.AccountEnabled -eq $false) {
        Write-Warning "The enterprise application of $($Wanted.DisplayName) is disabled: nobody gets a token for it."
    }
    return $found
}

function Add-Consent([hashtable] $Wanted, $Found) {
    # The assignment is the consent; the application also lists it, or a later consent in the portal would remove it.
    $principalId = $Found.Principal.Id
    foreach ($consent in $Wanted.Consents) {
        $role = Get-AppRole $consent.Api $consent.Name
        $there = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principalId -All |
            Where-Object { $_.AppRoleId -eq $role.RoleId -and $_.ResourceId -eq $role.ApiId })
        if ($there.Count -gt 0) {
            Write-Step "$($consent.Name) is consented to"
        } else {
            Write-Step "Consenting to $($consent.Name)"
            Save-Record 'consent' 'before' @{ principal_id = $principalId; name = $consent.Name }
            $made = Invoke-UntilReplicated {
                New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principalId -PrincipalId $principalId -ResourceId $role.ApiId -AppRoleId $role.RoleId
            }
            Save-Record 'consent' 'done' @{ principal_id = $principalId; name = $consent.Name; assignment_id = $made.Id }
        }
        if ($Found.Application) { Add-ListedPermission $Found.Application.Id $consent.Api $role.RoleId }
    }
}

function Add-ListedPermission([string] $ApplicationId, [string] $Api, [string] $RoleId) {
    $application = Get-MgApplication -ApplicationId $ApplicationId -Property $ApplicationFields
    $access = @(foreach ($entry in $application.RequiredResourceAccess) {
        @{
            ResourceAppId = $entry.ResourceAppId
            ResourceAccess = @(foreach ($item in $entry.ResourceAccess) { @{ Id = $item.Id; Type = $item.Type } })
        }
    })
    $entry = $access | Where-Object { $_.ResourceAppId -eq $Api } | Select-Object -First 1
    if ($entry -and @($entry.ResourceAccess | Where-Object { $_.Id -eq $RoleId }).Count -gt 0) { return }
    if (-not $entry) {
        $entry = @{ ResourceAppId = $Api; ResourceAccess = @() }
        $access += $entry
    }
    $entry.ResourceAccess += @{ Id = $RoleId; Type = 'Role' }
    Save-Record 'listed_permission' 'before' @{ object_id = $ApplicationId; api = $Api; role_id = $RoleId }
    Update-MgApplication -ApplicationId $ApplicationId -RequiredResourceAccess $access
}

function Add-Secret([hashtable] $Wanted, $Found) {
    # A secret is made only where the application has none; it is shown once, here, and written to no file.
    if (-not $Found.Application) { return }
    $id = $Found.Application.Id
    if (@($Found.Application.PasswordCredentials | Where-Object { $_ }).Count -gt 0) {
        Write-Step 'The application has a secret; it is kept'
        return
    }
    Write-Step 'Creating a client secret that is valid for a year'
    Save-Record 'secret' 'before' @{ object_id = $id }
    $body = @{ passwordCredential = @{ displayName = 'smtpcheck'; endDateTime = [DateTime]::UtcNow.AddYears(1) } }
    $secret = Invoke-UntilReplicated { Add-MgApplicationPassword -ApplicationId $id -BodyParameter $body }
    Save-Record 'secret' 'done' @{ object_id = $id; key_id = $secret.KeyId }
    Write-Host "    Put this value into $($Wanted.Proof.Source), now: it is shown only this once."
    Write-Host "    $($secret.SecretText)"
    Write-Host "    And into the configuration: client_secret_expires: $($secret.EndDateTime.ToString('yyyy-MM-dd'))"
}

# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online: sign in, to the same tenant, with roles that allow what is to be done

Connect-ExchangeOnline -ShowBanner:$false -ExchangeEnvironmentName $Setup.ExchangeEnvironment
$others = @(Get-ConnectionInformation | Where-Object { "$($_.TenantID)" -ne "$TenantId" })
if ($others.Count -gt 0) {
    Stop-Setup ("Exchange Online PowerShell is connected to tenant $($others[0].TenantID), not only to $TenantId. Run " +
        'Disconnect-ExchangeOnline, and then this script again with an administrator of the right tenant.')
}
$missing = @($Setup.ExchangeCommands | Where-Object { -not (Get-Command -Name $_ -ErrorAction SilentlyContinue) })
if ($missing.Count -gt 0) {
    Stop-Setup ("Your roles in Exchange do not allow $($missing -join ', '). Organization Management allows all of it " +
        '(Exchange Administrator alone may lack the assignment of roles).')
}

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

# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online: the application is registered with the object id of its enterprise application

function Assert-Registration([string] $ClientId, [string] $ObjectId) {
    $wrong = @(Get-ServicePrincipal | Where-Object { $_.AppId -eq $ClientId -and $_.ObjectId -ne $ObjectId })
    if ($wrong.Count -gt 0 -and -not $Replace) {
        Stop-Setup ("Exchange knows application $ClientId with the object id $($wrong[0].ObjectId), which is not that of its " +
            "enterprise application, $ObjectId. Run the script with -Replace: it removes that entry, with its permissions.")
    }
}

function Register-Application([string] $ClientId, [string] $ObjectId, [string] $DisplayName) {
    # Returns Exchange's own entry, whose Sid is shown in the permissions of mailboxes.
    $there = @(Get-ServicePrincipal | Where-Object { $_.AppId -eq $ClientId })
    foreach ($wrong in @($there | Where-Object { $_.ObjectId -ne $ObjectId })) {
        Write-Step "Removing the registration of $ClientId with the wrong object id $($wrong.ObjectId)"
        Save-Record 'registration_removed' 'before' @{ client_id = $ClientId; object_id = "$($wrong.ObjectId)" }
        Remove-ServicePrincipal -Identity $wrong.ObjectId -Confirm:$false
    }
    $right = @($there | Where-Object { $_.ObjectId -eq $ObjectId })
    if ($right.Count -gt 0) {
        Write-Step "Exchange knows the application $ClientId"
        return $right[0]
    }
    Write-Step "Registering the application $ClientId in Exchange"
    Save-Record 'registration' 'before' @{ client_id = $ClientId; object_id = $ObjectId }
    return Invoke-UntilReplicated { New-ServicePrincipal -AppId $ClientId -ObjectId $ObjectId -DisplayName $DisplayName }
}

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

# Check everything first
foreach ($application in $Setup.Applications) {
    $found = Find-Application $application
    $identity = if ($found.Principal) { @{ ClientId = $found.Principal.AppId; ObjectId = $found.Principal.Id } } else { $null }
    foreach ($consent in $application.Consents) { $null = Get-AppRole $consent.Api $consent.Name }
    if ($identity -and $application.InExchange) { Assert-Registration $identity.ClientId $identity.ObjectId }
}
if ($CheckOnly) { Write-Host "Everything that can be checked before is right; nothing was changed."; return }

# Then change it
Save-Record 'script' 'before' @{ version = 1; tenant = $Setup.Tenant; tenant_id = "$TenantId"; graph = $Setup.GraphEnvironment; exchange = $Setup.ExchangeEnvironment }
$Identities = @{}
foreach ($application in $Setup.Applications) {
    $found = Set-Application $application
    $identity = @{ ClientId = $found.Principal.AppId; ObjectId = $found.Principal.Id }
    $Identities[$application.Credential] = $identity
    if ($application.Proof.Kind -eq 'secret') { Add-Secret $application $found }
    Add-Consent $application $found
    if (-not $application.InExchange) { continue }
    $registration = Register-Application $identity.ClientId $identity.ObjectId $application.DisplayName
    foreach ($mailbox in $application.Mailboxes) {
        if ($mailbox.FullAccess) { Add-FullAccess $registration $mailbox.Address }
        foreach ($sender in $mailbox.SendAs) { Add-SendAs $registration $mailbox.Address $sender }
        Set-Protocols $mailbox
    }
}

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

Write-Host ''
Write-Host 'Write into the configuration:'
foreach ($application in $Setup.Applications) {
    Write-Host "    credential $($application.Credential): client_id: $($Identities[$application.Credential].ClientId)"
}
Write-Host "    its checks: granted: $([DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mmZ'))"
Write-Host ''
Write-Host 'Exchange takes up to two hours to apply this everywhere, and answers 535 5.7.3 until then. Prove it:'
foreach ($check in $Setup.Checks) { Write-Host "    smtpcheck doctor $check" }
Write-Host ''
if (Test-Path -LiteralPath $RecordFile) {
    Write-Host "What was changed, and what it was before, is in $RecordFile. To take it back:"
    Write-Host "    smtpcheck setup --undo $RecordFile"
}
