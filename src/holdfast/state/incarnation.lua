-- Put before every script of this folder.
--
-- A value is vouched for by the server that it was filled into, in one life of it. The replication
-- id changes with each restart, failover and restore; a run id stays when a server is demoted and
-- promoted again. A replica, which may be behind, vouches for nothing.
local incarnation = string.match(
  redis.call('INFO', 'replication'), 'role:master.-master_replid:(%x+)')
if not incarnation then
  return redis.error_reply('READONLY this server is no master')
end

-- A full Redis refuses a script at its first write where that may need memory, and runs all of one
-- whose first cannot. So begin those that write states to their rows and clear them away.
local function begin_also_when_full(hash)
  redis.call('HDEL', hash, '\0')  -- no hash has such a field
end

-- Seconds, with microseconds: marks of the same second would be taken in the order of their names.
local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end
