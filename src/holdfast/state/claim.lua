-- Say that somebody is about to fill a key from its row. A later claim replaces an earlier one.
-- KEYS  1 value  2 marks
-- ARGV  1 token  2 member of marks  3 milliseconds that a claim without a value is kept
-- Gives {'hit', version, state, columns} | {'claimed', version or '', state, columns}
local v, r, x, s, o, p = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 's', 'o', 'p'))
if v and r == incarnation and not x then
  if v ~= p then  -- marked already, unless somebody removed the marks by hand
    redis.call('ZADD', KEYS[2], 'NX', now(), ARGV[2])
  end
  return {'hit', v, s, o}
end
redis.call('HSET', KEYS[1], 'c', ARGV[1] .. incarnation)
if not v then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {'claimed', v or '', s or '', o or ''}
