-- Read what can be played on from.
-- KEYS  1 value
-- Gives {version, state, columns} | 'missing' | 'stale'
local v, r, x, s, o = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 's', 'o'))
if v and r == incarnation and not x then
  return {v, s, o}
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
return 'stale'
