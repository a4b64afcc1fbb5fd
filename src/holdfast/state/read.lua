-- Read what is to be written to the row, also when nobody may play on from it.
-- KEYS  1 value
-- Gives {version, state, columns, persisted version, '1' where closed} | 'missing' | 'stale'
local v, r, s, o, p, x = unpack(redis.call('HMGET', KEYS[1], 'v', 'r', 's', 'o', 'p', 'x'))
if not v then
  return 'missing'
end
if r ~= incarnation then
  return 'stale'
end
return {v, s, o or '', p, x and '1' or ''}
