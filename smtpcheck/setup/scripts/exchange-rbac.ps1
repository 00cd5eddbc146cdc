# ---------------------------------------------------------------------------------------------------------------------
# Exchange's RBAC for Applications: a role, limited to some mailboxes

function Assert-Customizable {
    # A tenant that was never customised refuses roles until this has been done, once; it takes minutes to an hour.
    if ("$((Get-OrganizationConfig).IsDehydrated)" -ne 'True') { return }
    Write-Step 'Enabling the customisation of the organisation'
    Save-Record 'organization_customization' 'before' @{}
    Enable-OrganizationCustomization
}

function Add-ScopedRole([hashtable] $Role, [string] $ObjectId) {
    $there = @(Get-ManagementRoleAssignment -RoleAssignee $ObjectId -ErrorAction SilentlyContinue |
        Where-Object { "$($_.Role)" -eq $Role.Role })
    foreach ($other in @($there | Where-Object { "$($_.Name)" -ne $Role.Assignment })) {
        Write-Warning "The application also has '$($Role.Role)' by the assignment $($other.Name); what that reaches stays."
    }
    if (@($there | Where-Object { "$($_.Name)" -eq $Role.Assignment }).Count -gt 0) {
        Write-Step "The application has the role '$($Role.Role)'"
        return
    }
    Write-Step "Assigning the role '$($Role.Role)'"
    Save-Record 'role_assignment' 'before' @{ name = $Role.Assignment; object_id = $ObjectId }
    if ($Setup.AdministrativeUnit) {
        $null = Invoke-UntilReplicated {
            New-ManagementRoleAssignment -Name $Role.Assignment -Role $Role.Role -App $ObjectId -RecipientAdministrativeUnitScope $Setup.AdministrativeUnit
        }
    } else {
        $null = Invoke-UntilReplicated {
            New-ManagementRoleAssignment -Name $Role.Assignment -Role $Role.Role -App $ObjectId -RecipientGroupScope $Role.Group
        }
    }
}
