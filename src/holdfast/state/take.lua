-- Take the keys that have waited longest to be written, for so many seconds.
-- KEYS  1 marks  2 leases
-- ARGV  1 how many  2 seconds, with parts of one
-- Gives members of marks, each with '1' behind it that somebody took before, or ''
begin_also_when_full(KEYS[2])
local moment = now()
local leased = redis.call('HLEN', KEYS[2])
local taken, count = {}, 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, leased + ARGV[1] - 1)) do
  local till = redis.call('HGET', KEYS[2], member)
  if not till or tonumber(till) <= moment then
    redis.call('HSET', KEYS[2], member, moment + ARGV[2])
    taken[#taken + 1] = member
    taken[#taken + 1] = till and '1' or ''
    count = count + 1
    if count == tonumber(ARGV[1]) then
      break
    end
  end
end
return taken
