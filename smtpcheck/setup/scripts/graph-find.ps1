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
