"""Value <-> bytes, between hosts and in files. No codec knows another, and importing one imports no heavy library.

Two steps, each with its own modules:

    value --plain | pickled--> header and blobs --raw | jpeg | exact | lz4--> what travels

`plain` and `pickled` are forms: functions that make any value bytes. The others are codecs (`codec.Codec`): they make one
blob, an array or bytes, shorter. `registry` gives a codec by its number; `choosing` says which one a blob goes through.
"""
