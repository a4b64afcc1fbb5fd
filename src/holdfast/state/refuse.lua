-- Set a state aside that the database refuses, for so many seconds or until another is saved.
-- KEYS  1 value  2 marks  3 leases  4 refused
-- ARGV  1 version  2 member of marks  3 reason  4 seconds
-- Gives 1 | 0 where another state has been saved since, or this one was written
local v, r, p = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'p'))
if v ~= ARGV[1] or v == p or r ~= incarnation then
  return 0
end
begin_also_when_full(KEYS[1])
redis.call('HSET', KEYS[1], 'f', '1')
redis.call('HSET', KEYS[3], ARGV[2], now() + ARGV[4])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
return 1
