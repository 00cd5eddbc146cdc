# ---------------------------------------------------------------------------------------------------------------------
# What every step uses

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }  # commands of Exchange's module do not see the line above
$TenantId = $Setup.TenantId

function Write-Step([string] $Text) {
    Write-Host "==> $Text"
}

function Stop-Setup([string[]] $Problems) {
    throw ("Nothing was changed.`n" + ($Problems -join "`n"))
}

function Confirm-Change([string] $Text, [bool] $Asks) {
    # Returns whether to make a change: with -Apply alone, and after a question where more than a right is removed.
    if (-not $Apply) {
        Write-Host "    would: $Text"
        return $false
    }
    if ($Asks -and (Read-Host -Prompt "$Text? Type yes") -ne 'yes') {
        Write-Host "    left: $Text"
        return $false
    }
    Write-Step $Text
    return $true
}
