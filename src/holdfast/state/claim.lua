-- Say that somebody is about to fill a key from its row. A later claim replaces an earlier one.
-- KEYS  1 value  2 marks
-- ARGV  1 token  2 member of marks  3 milliseconds that a claim without a value is kept
-- Gives {'hit', version, state, columns} | {'claimed', version, state, columns} | 'claimed'
if not redis.call('HGET', KEYS[1], 'v') then
  redis.call('HSET', KEYS[1], 'c', ARGV[1] .. incarnation)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 'claimed'
end
begin_also_when_full(KEYS[1])  -- what is there already
local v, r, x, s, o, p = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 's', 'o', 'p'))
if r == incarnation and not x then
  if v ~= p then  -- marked already, unless somebody removed the marks by hand
    redis.call('ZADD', KEYS[2], 'NX', now(), ARGV[2])
  end
  return {'hit', v, s, o}
end
redis.call('HSET', KEYS[1], 'c', ARGV[1] .. incarnation)
return {'claimed', v, s, o or ''}
