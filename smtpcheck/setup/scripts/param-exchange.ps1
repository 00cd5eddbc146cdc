[CmdletBinding()]
param(
    # The tenant's id, and for each application its client id and the object id of its enterprise application, in the
    # order of the data below, separated by commas.
    [Parameter(Mandatory = $true)] [string] $TenantId,
    [string] $ClientIds = '',
    [string] $ObjectIds = '',
    # Also make the changes that replace or remove something; without it they are only announced.
    [switch] $Replace,
    # Check everything, and change nothing.
    [switch] $CheckOnly,
    # Where the script writes what was there, before each change: smtpcheck setup --undo FILE takes it back.
    [string] $RecordFile = "smtpcheck-setup-$([DateTime]::UtcNow.ToString('yyyyMMdd-HHmmss')).jsonl"
)
