function Add-ToRoleGroup([string] $RoleGroup, [string] $ObjectId) {
    # Read-only roles for questions about the configuration; the application permission alone may ask nothing.
    $members = @(Get-RoleGroupMember -Identity $RoleGroup -ResultSize 'Unlimited')
    $there = @($members | Where-Object { "$($_.ExternalDirectoryObjectId)" -eq $ObjectId -or "$($_.Name)" -eq $ObjectId })
    if ($there.Count -gt 0) {
        Write-Step "The application is a member of $RoleGroup"
        return
    }
    Write-Step "Adding the application to the role group $RoleGroup"
    Save-Record 'role_group_member' 'before' @{ role_group = $RoleGroup; object_id = $ObjectId }
    try {
        Invoke-UntilReplicated { Add-RoleGroupMember -Identity $RoleGroup -Member $ObjectId -Confirm:$false }
    } catch {
        if ($_.Exception.Message -notmatch 'already a member|MemberAlreadyExists') { throw }
    }
}
