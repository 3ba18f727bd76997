# What a script of everyday use loads and does: compiled extension modules, text, bytes, big integers, floating point.
import collections
import hashlib
import json
import math
import re
import struct
import sys
import zlib

rounds = int(sys.argv[1])

text = " ".join("word%d=%d;" % (i % 97, i * i) for i in range(rounds))
words = collections.Counter(re.findall(r"word(\d+)=\d*6;", text))
print(json.dumps(dict(sorted(words.items())), indent=1)[:2000])
print(re.sub(r"(\w+)=(\d+);", r"\2:\1", text)[:200])

data = text.encode()
for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
    print(name, hashlib.new(name, data).hexdigest())
packed = zlib.compress(data, 9)
print(len(packed) < len(data), zlib.crc32(packed), zlib.decompress(packed) == data)

total = 0.0
for i in range(1, rounds):
    total += math.sin(i) * math.exp(-i / rounds) / math.sqrt(i)
print(repr(total), total.hex(), math.fsum([0.1] * 10), 2 ** 0.5, 1e308 * 10, struct.pack("<d", total).hex())
print(json.loads(json.dumps({"pi": math.pi, "list": [1.5, None, True, "\u00e9"]})))
print(math.factorial(rounds // 50) % (10 ** 50 + 151))
try:
    {}["missing"]
except KeyError as error:
    print("KeyError", error, file=sys.stderr)
sys.exit(7)
