-- Health of the kinds of intops for Argo CD; the same script for each (docs/gitops.md).
--
-- Progressing: not there yet, and may come by itself, also later in the same sync.
-- Degraded:    a person must act, or messages do not arrive. A later sync still goes on.
-- Suspended:   somebody has paused it, or somebody has to approve it.
-- Healthy:     a Flow whose messages arrive; anything else that is well-formed and finds what it names. A Connector
--              stays Healthy while its system is away: the Flow says so, and a change of the Flow must not wait for it.

local function health(status, message)
  return { status = status, message = message or "" }
end

local status = obj.status
if status == nil or status.conditions == nil then
  return health("Progressing", "Waiting for intops to look at it.")
end
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for intops to look at the change.")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local ready = found["Ready"]
if found["Stalled"] ~= nil and found["Stalled"].status == "True" then
  return health("Degraded", found["Stalled"].message)
end
if ready == nil then
  return health("Progressing", "Waiting for intops to look at it.")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if ready.reason == "Suspended" or ready.reason == "AwaitingApproval" then
  return health("Suspended", ready.message)
end

for _, needed in ipairs({ "Accepted", "ResolvedRefs" }) do
  if found[needed] ~= nil and found[needed].status ~= "True" then
    return health("Progressing", found[needed].message)
  end
end
if obj.kind ~= "Flow" then
  if found["Accepted"] ~= nil then
    return health("Healthy", ready.message)
  end
  return health("Progressing", ready.message)
end

local coming = { Applying = true, WorkerUnavailable = true, SecretMissing = true, Moving = true }
if ready.status == "Unknown" or coming[ready.reason] then
  return health("Progressing", ready.message)
end
return health("Degraded", ready.message)
