-- Put behind a script that is to do for several keys what it does for one; they share their marks.
-- KEYS  1… values  then what the script has behind its first
-- ARGV  1 how many values  then what the script has, for one value after the other
-- Gives a list: {answer}, or {'failed', error}
local many = tonumber(ARGV[1])
local own = (#ARGV - 1) / many
local keys, values, answers = {}, {}, {}
for each = many + 1, #KEYS do
  keys[each - many + 1] = KEYS[each]
end
for place = 1, many do
  keys[1] = KEYS[place]
  for each = 1, own do
    values[each] = ARGV[1 + (place - 1) * own + each]
  end
  local done, answer = pcall(one, keys, values)
  if done then
    answers[place] = {answer}
  else  -- a table since Redis 7
    answers[place] = {'failed', type(answer) == 'table' and answer.err or tostring(answer)}
  end
end
return answers
