"""An OpenAI-compatible server whose replies carry answer, reflection, confidence and a decision.

    metaconf serve --model runs/sft --calibration calibration.json

`reply` makes the object that every reply carries (`metaconf ask` prints the same one), `service`
answers a request with a backend (`local`, `remote`), `app` is the interface over HTTP, `guard` what
stands before it, `page` the page in the browser, `run` the command.
"""
