-- Have a prefix belong to a table, if nobody has come between since the owners were read.
-- KEYS  1 owners
-- ARGV  1 prefix  2 owner  3 how many owners there were
-- Gives 1 | 0
if redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[3]) then
  return 0
end
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
