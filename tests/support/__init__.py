"""The rig that tests share: real clients, real peers, and peers that misbehave."""
