foreach ($module in $Setup.Modules) {
    if (-not (Get-Module -Name $module -ListAvailable)) {
        Stop-Setup "The module $module is not installed: Install-Module $module -Scope CurrentUser"
    }
}
