-- Let nobody play on: the row is about to be deleted. Only a new fill makes it readable again.
-- KEYS  1 value  2 marks  3 leases
-- ARGV  1 token  2 expected version or ''  3 member of marks
-- Gives {'closed', version} | {'conflict', version} | 'missing'
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
begin_also_when_full(KEYS[1])
local v, r = unpack(redis.call('HMGET', KEYS[1], 'v', 'r'))
if v then  -- so that a writer clears away what is left when this one dies
  redis.call('ZADD', KEYS[2], 'NX', now(), ARGV[3])
end
if not v or r ~= incarnation then
  redis.call('HSET', KEYS[1], 'c', ARGV[1] .. incarnation)
  return 'missing'
end
if ARGV[2] ~= '' and v ~= ARGV[2] then
  return {'conflict', v}
end
redis.call('HSET', KEYS[1], 'x', ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[3])  -- a writer opens it that has met it twice, a lease apart
redis.call('HDEL', KEYS[1], 'c')
return {'closed', v}
