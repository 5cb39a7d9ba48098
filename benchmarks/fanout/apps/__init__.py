"""The peers. All answer the same requests: `GET /events`, `GET /first` (the newest event, then what follows),
`POST /publish` with an event a line, `GET /count`.
"""
