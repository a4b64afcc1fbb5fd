-- Replace a state whose version is the expected one. Sent again with the same token it changes
-- nothing and gives the same answer, as long as fewer than four other saves came between.
-- KEYS  1 value  2 marks  3 leases  4 refused
-- ARGV  1 expected version  2 new version  3 state  4 columns  5 token
--       6 member of marks  7 most marks
-- Gives 'ok' | 'gone' | 'closed' | 'full' | {'conflict', version}
local v, r, x, t, p, f = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 't', 'p', 'f'))
if not v or r ~= incarnation then
  return 'gone'
end
t = t or ''
if string.find(t, ARGV[5], 1, true) then
  return 'ok'
end
-- As text: versions are longer than the 53 bits of Lua's numbers.
if v ~= ARGV[1] then
  return {'conflict', v}
end
if x then
  return 'closed'
end
if v == p then
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[7]) then
    return 'full'
  end
  redis.call('ZADD', KEYS[2], 'NX', now(), ARGV[6])
  redis.call('HDEL', KEYS[3], ARGV[6])
end
if f then  -- this state may be one that the database takes
  redis.call('HDEL', KEYS[1], 'f')
  redis.call('HDEL', KEYS[3], ARGV[6])
  redis.call('HDEL', KEYS[4], ARGV[6])
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 's', ARGV[3], 'o', ARGV[4],
  't', ARGV[5] .. string.sub(t, 1, 3 * #ARGV[5]))
return 'ok'
