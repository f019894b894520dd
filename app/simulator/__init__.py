"""Far ends that speak the providers' own wires and draw real pictures: for development and tests, never outside.

What a prompt may hold to make the far end misbehave:

| in the prompt | the far end |
|---|---|
| `[delay=2.5]` | takes that many seconds |
| `[refuse]` | refuses it under its content policy |
| `[429]` `[500]` `[502]` `[503]` `[504]` | answers with that status |
| `[429x2]` | the first two calls of that prompt, then a picture |
| `[retry-after=3]` | sends that header with the status |
| `[drop]`, `[dropx1]` | takes the order, then cuts the connection |
| `[garbage]` | sends bytes that are no picture |
| `[torn]` | sends a picture whose end is missing |
| `[other-format]` | sends a JPEG where PNG is asked for, else a PNG |
| `[badjson]` | sends a 200 that cannot be read |
| `[empty]` | sends a 200 without a picture |
| `[cut-stream]` `[end-stream]` | cuts, or ends, a stream after its first preview |
| `[error-stream]` `[refuse-stream]` | says there that it failed, or that it refuses |
"""
