import requests

for host in ("www", "beta"):
    answer = requests.post(f"https://{host}.quantconnect.com/api/v2//agents/list", json={"organizationId": "0123456789abcdef0123456789abcdef"})
    print(answer.status_code, answer.json()["success"])
try:
    requests.get("https://example.com/")
    print("reached example.com")
except requests.exceptions.ProxyError as error:
    print("403" if "403" in str(error) else error)
