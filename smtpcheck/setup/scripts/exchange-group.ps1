function Set-ScopeGroup([hashtable] $Role) {
    # Only direct members count, and the owners of the group decide who is one.
    $group = Get-DistributionGroup -Identity $Role.Group -ErrorAction SilentlyContinue
    if (-not $group) {
        Write-Step "Creating the mail-enabled security group $($Role.Group)"
        Save-Record 'group' 'before' @{ group = $Role.Group }
        $group = New-DistributionGroup -Name $Role.Group -Type 'Security' -MemberJoinRestriction 'Closed' -MemberDepartRestriction 'Closed'
        Save-Record 'group' 'done' @{ group = $Role.Group; guid = "$($group.Guid)" }
        Invoke-UntilReplicated { Set-DistributionGroup -Identity $Role.Group -HiddenFromAddressListsEnabled $true }
    }
    $members = @(Invoke-UntilReplicated { Get-DistributionGroupMember -Identity $Role.Group -ResultSize 'Unlimited' } |
        ForEach-Object { "$($_.Guid)" })
    $wanted = @()
    foreach ($address in $Role.Mailboxes) {
        $wanted += "$($Mailboxes[$address].Guid)"
        if ("$($Mailboxes[$address].Guid)" -in $members) { continue }
        Write-Step "Adding $address to the group $($Role.Group)"
        Save-Record 'group_member' 'before' @{ group = $Role.Group; mailbox = $address }
        Add-DistributionGroupMember -Identity $Role.Group -Member $address -BypassSecurityGroupManagerCheck
    }
    $further = @($members | Where-Object { $_ -notin $wanted })
    if ($further.Count -gt 0) {
        Write-Warning "The group $($Role.Group) has $($further.Count) further members, which the application reaches too."
    }
}

function Assert-Group([hashtable] $Role) {
    $group = Get-DistributionGroup -Identity $Role.Group -ErrorAction SilentlyContinue
    if ($group -and "$($group.RecipientTypeDetails)" -ne 'MailUniversalSecurityGroup') {
        Stop-Setup "$($Role.Group) is a $($group.RecipientTypeDetails), not a mail-enabled security group: choose another --group."
    }
}
