-- Remove what is left of a key whose row is gone, unless somebody else is at it.
-- KEYS  1 value  2 marks  3 leases  4 refused
-- ARGV  1 token  2 member of marks
-- Gives 1 | 0
local v, r, x, c = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 'c'))
if v and r == incarnation and not x then
  return 0
end
if x ~= ARGV[1] and c ~= ARGV[1] .. incarnation then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
return 1
