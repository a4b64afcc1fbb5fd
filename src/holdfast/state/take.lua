-- Take the keys that have waited longest to be written, for so many seconds.
-- KEYS  1 marks  2 leases
-- ARGV  1 how many  2 seconds, with parts of one  3 token; what was taken with it is free
-- Gives members of marks, each with '1' behind it that somebody took a lease ago, or ''
begin_also_when_full(KEYS[2])
local moment = now()
local leased = redis.call('HLEN', KEYS[2])
local taken, count = {}, 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, leased + ARGV[1] - 1)) do
  -- What was set aside has no token.
  local till, by = string.match(redis.call('HGET', KEYS[2], member) or '', '^(%S+) ?(.*)$')
  local is_over = till and tonumber(till) <= moment
  if not till or is_over or by == ARGV[3] then
    redis.call('HSET', KEYS[2], member, (moment + ARGV[2]) .. ' ' .. ARGV[3])
    taken[#taken + 1] = member
    taken[#taken + 1] = is_over and '1' or ''
    count = count + 1
    if count == tonumber(ARGV[1]) then
      break
    end
  end
end
return taken
