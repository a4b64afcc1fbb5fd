-- Note which version the row has.
-- KEYS  1 value  2 marks  3 leases  4 refused
-- ARGV  1 version, '' to look only  2 member of marks
-- Gives 'clean' | 'dirty' | 'closed' | 'missing' | 'stale'
local v, r, p, x, f = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'p', 'x', 'f'))
if not v then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HDEL', KEYS[3], ARGV[2])
  redis.call('HDEL', KEYS[4], ARGV[2])
  return 'missing'
end
if r ~= incarnation then
  return 'stale'
end
if v == ARGV[1] then
  begin_also_when_full(KEYS[1])
  redis.call('HSET', KEYS[1], 'p', v)
  p = v
end
if v ~= p then
  redis.call('HDEL', KEYS[3], ARGV[2])
  if ARGV[1] ~= '' then  -- saved since the last was read: its turn is behind those that wait
    redis.call('ZADD', KEYS[2], 'XX', now(), ARGV[2])
  end
  return 'dirty'
end
if x then  -- looked at again when the lease is over: whoever closed it may have died
  return 'closed'
end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
if f then
  redis.call('HDEL', KEYS[1], 'f')
  redis.call('HDEL', KEYS[4], ARGV[2])
end
return 'clean'
