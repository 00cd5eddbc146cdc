Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }  # commands of Exchange's module do not see the line above

function Write-Step([string] $Text) {
    Write-Host "==> $Text"
}

function Stop-Setup([string[]] $Problems) {
    throw ("Nothing was changed.`n" + ($Problems -join "`n"))
}
