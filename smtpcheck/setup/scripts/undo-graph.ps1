# ---------------------------------------------------------------------------------------------------------------------
# Entra

function Undo-Consent([hashtable] $Change) {
    $there = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Change.principal_id -All |
        Where-Object { $_.Id -eq $Change.assignment_id })
    if ($there.Count -eq 0) { Write-Host "    gone already: the consent to $($Change.name)"; return }
    if (Confirm-Change "remove the consent to $($Change.name)" $false) {
        Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Change.principal_id -AppRoleAssignmentId $Change.assignment_id
    }
}

function Undo-RemovedConsent([hashtable] $Change) {
    if (Confirm-Change "consent to $($Change.name) again" $false) {
        $null = New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Change.principal_id -PrincipalId $Change.principal_id -ResourceId $Change.api_id -AppRoleId $Change.role_id
    }
}

function Undo-ListedPermission([hashtable] $Change) {
    $application = Get-MgApplication -ApplicationId $Change.object_id -Property @('id', 'requiredResourceAccess')
    $found = $false
    $access = @(foreach ($entry in $application.RequiredResourceAccess) {
        $items = @(foreach ($item in $entry.ResourceAccess) {
            if ($entry.ResourceAppId -eq $Change.api -and "$($item.Id)" -eq $Change.role_id) {
                $found = $true
            } else {
                @{ Id = $item.Id; Type = $item.Type }
            }
        })
        if ($items.Count -gt 0) { @{ ResourceAppId = $entry.ResourceAppId; ResourceAccess = $items } }
    })
    if (-not $found) { Write-Host "    gone already: the permission $($Change.role_id) in the application's list"; return }
    if (Confirm-Change "remove the permission $($Change.role_id) from the application's list" $false) {
        Update-MgApplication -ApplicationId $Change.object_id -RequiredResourceAccess $access
    }
}

function Undo-Certificate([hashtable] $Change) {
    $keys = @((Get-MgApplication -ApplicationId $Change.object_id -Property @('id', 'keyCredentials')).KeyCredentials | Where-Object { $_ })
    $others = @($keys | Where-Object {
        -not $_.CustomKeyIdentifier -or [BitConverter]::ToString($_.CustomKeyIdentifier).Replace('-', '') -ne $Change.thumbprint
    })
    if ($others.Count -eq $keys.Count) { Write-Host "    gone already: the certificate $($Change.thumbprint)"; return }
    if (Confirm-Change "remove the certificate $($Change.thumbprint)" $false) {
        Update-MgApplication -ApplicationId $Change.object_id -KeyCredentials $others
    }
}

function Undo-Secret([hashtable] $Change) {
    $application = Get-MgApplication -ApplicationId $Change.object_id -Property @('id', 'passwordCredentials')
    if (@($application.PasswordCredentials | Where-Object { $_ -and "$($_.KeyId)" -eq $Change.key_id }).Count -eq 0) {
        Write-Host "    gone already: the secret $($Change.key_id)"
        return
    }
    if (Confirm-Change "remove the secret $($Change.key_id)" $false) {
        Remove-MgApplicationPassword -ApplicationId $Change.object_id -KeyId $Change.key_id
    }
}

function Undo-FederatedCredential([hashtable] $Change) {
    $there = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $Change.object_id -All |
        Where-Object { $_.Id -eq $Change.credential_id })
    if ($there.Count -eq 0) { Write-Host "    gone already: the federated credential for $($Change.subject)"; return }
    if (Confirm-Change "remove the federated credential for $($Change.subject)" $false) {
        Remove-MgApplicationFederatedIdentityCredential -ApplicationId $Change.object_id -FederatedIdentityCredentialId $Change.credential_id
    }
}

function Undo-EnterpriseApplication([hashtable] $Change) {
    $principal = Get-MgServicePrincipal -ServicePrincipalId $Change.object_id
    if (Confirm-Change "remove the enterprise application $($principal.DisplayName) ($($Change.client_id))" $true) {
        Remove-MgServicePrincipal -ServicePrincipalId $Change.object_id
    }
}

function Undo-Application([hashtable] $Change) {
    # A removed application is kept for 30 days among the deleted ones.
    $application = Get-MgApplication -ApplicationId $Change.object_id
    if (Confirm-Change "remove the application $($application.DisplayName) ($($Change.client_id))" $true) {
        Remove-MgApplication -ApplicationId $Change.object_id
    }
}
