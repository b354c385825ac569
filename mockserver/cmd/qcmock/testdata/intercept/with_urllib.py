import json
import urllib.error
import urllib.request

for host in ("www", "beta"):
    request = urllib.request.Request(
        f"https://{host}.quantconnect.com/api/v2//agents/list",
        json.dumps({"organizationId": "0123456789abcdef0123456789abcdef"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        print(answer.status, json.load(answer)["success"])
try:
    urllib.request.urlopen("https://example.com/")
    print("reached example.com")
except urllib.error.URLError as error:
    print("403" if "403" in str(error) else error)
