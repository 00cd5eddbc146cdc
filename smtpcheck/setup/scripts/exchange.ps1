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
