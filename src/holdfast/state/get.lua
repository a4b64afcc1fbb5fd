-- Read what can be played on from.
-- KEYS  1 value
-- Gives {version, state} | 'missing' | 'stale'
local v, r, x, s = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 'x', 's'))
if v and r == incarnation and not x then
  return {v, s}
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
return 'stale'
