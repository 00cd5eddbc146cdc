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
