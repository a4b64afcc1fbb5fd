-- Make a state readable that the row has, or does not take, if the claim still stands.
-- KEYS  1 value  2 marks  3 leases  4 refused
-- ARGV  1 token  2 version  3 state  4 columns  5 member of marks  6 '1' to keep the saves' tokens
--       7 version of the row
-- Gives 1 | 0 where the claim is lost
if redis.call('HGET', KEYS[1], 'c') ~= ARGV[1] .. incarnation then
  return 0
end
local t = ARGV[6] == '1' and redis.call('HGET', KEYS[1], 't') or ''
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 's', ARGV[3], 'o', ARGV[4], 'r', incarnation,
  'p', ARGV[7], 't', t or '')
if ARGV[2] ~= ARGV[7] then
  redis.call('ZADD', KEYS[2], 'NX', now(), ARGV[5])
end
if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4]) > 0 then  -- none of them, where Redis was emptied
  if ARGV[2] == ARGV[7] then
    redis.call('ZREM', KEYS[2], ARGV[5])
  end
  redis.call('HDEL', KEYS[3], ARGV[5])
  redis.call('HDEL', KEYS[4], ARGV[5])
end
return 1
