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
