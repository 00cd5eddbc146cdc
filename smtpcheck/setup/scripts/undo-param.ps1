[CmdletBinding()]
param(
    # Make the changes; without it the script only says what it would do.
    [switch] $Apply
)
