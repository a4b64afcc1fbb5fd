-- Take the keys that have waited longest to be written, for so many seconds.
-- KEYS  1 marks  2 leases
-- ARGV  1 how many  2 seconds
-- Gives members of marks
local now = tonumber(redis.call('TIME')[1])
local leased = redis.call('HLEN', KEYS[2])
local taken = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, leased + ARGV[1] - 1)) do
  local till = redis.call('HGET', KEYS[2], member)
  if not till or tonumber(till) <= now then
    redis.call('HSET', KEYS[2], member, now + ARGV[2])
    taken[#taken + 1] = member
    if #taken == tonumber(ARGV[1]) then
      break
    end
  end
end
return taken
